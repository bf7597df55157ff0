/* sub_group.cl: kernels of many values per item ask for the sub-group size that leaves them registers (diffad_caps.sub_group). */
#ifdef SUB_GROUP
#define ASKS_SUB_GROUP __attribute__((intel_reqd_sub_group_size(SUB_GROUP)))
#else
#define ASKS_SUB_GROUP
#endif
