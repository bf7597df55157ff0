/* check_common.h: data and graphs for the cases of an op, shared by check_ops.c and check_gradients.c. */
#ifndef DIFFAD_CHECK_COMMON_H
#define DIFFAD_CHECK_COMMON_H

#include "diffad/selftest.h"
#include "op/ops.h"

/* Number of inputs of a case. */
int check_inputs(const diffad_op *op, const diffad_op_case *c);
/* Shape, type and range of input i: those of further sets follow from the first and c->sets. */
diffad_shape check_shape(const diffad_op *op, const diffad_op_case *c, int i);
diffad_dtype check_type(const diffad_op *op, const diffad_op_case *c, int i);
bool check_is_absent(const diffad_op *op, const diffad_op_case *c, int i);
/* The op alone in a graph: inputs "x0".. where there are any (what the op writes is bound to the tensors at `bound`, which need not
 * be there yet), outputs "y0"... Maps of at least `least` channels come in the device's blocks; 0: none do. x and y may be NULL. */
diffad_status check_graph(diffad_graph *g, const diffad_op *op, const diffad_op_case *c, int least, diffad_tensor *bound[], diffad_val x[],
                          diffad_val y[]);
/* Tensors for what the op writes. */
diffad_status check_bound(diffad_device *dev, const diffad_op *op, const diffad_op_case *c, diffad_tensor *bound[]);
/* Values of input i: floats rounded to float, integers as integers; new memory, NULL when out of it. */
double *check_data(const diffad_op *op, const diffad_op_case *c, int i, uint32_t salt);
/* A run's value in the tensor's own type, from doubles and back. bytes of data: count * size of type. */
void check_to_type(const double *from, int64_t count, diffad_dtype type, void *to);
void check_from_type(const void *from, int64_t count, diffad_dtype type, double *to);

#endif
