/* models.h: the networks: each function adds one network to a graph, with the published parameter names. */
#ifndef DIFFAD_MODELS_H
#define DIFFAD_MODELS_H

#include "model/desc.h"
#include "nn/nn.h"

/* x [N,image_channels,H,W] -> moments [N,2 embed,H/f,W/f]; names encoder.* quant_conv.* */
diffad_val diffad_encoder(diffad_nn *nn, const diffad_desc *d, diffad_val x);
/* moments -> mean, logvar clamped to [-30,20] */
void       diffad_moments(diffad_graph *g, diffad_val moments, diffad_val *mean, diffad_val *logvar);
/* z [N,embed,h,w] -> picture; names post_quant_conv.* decoder.* */
diffad_val diffad_decoder(diffad_nn *nn, const diffad_desc *d, diffad_val z);

/* x [N,C,h,w] (latent, and condition where the variant has one), t i32 [N] -> eps [N,embed,h,w]; names time_embed.*,
 * input_blocks.*, middle_block.*, output_blocks.*, out.* */
diffad_val diffad_unet(diffad_nn *nn, const diffad_desc *d, diffad_val x, diffad_val t);

/* x [N,C,H,W] -> logits [N,2,H,W]; names encoder_segment.* decoder_segment.*; sides divisible by 32 */
diffad_val diffad_discriminator(diffad_nn *nn, diffad_val x, int base);
/* DRAEM's reconstructive network; names encoder.* decoder.*; sides divisible by 16 */
diffad_val diffad_draem_reconstruct(diffad_nn *nn, diffad_val x, int base);
/* names main.* ; x [N,3,H,W] -> [N,1,h,w] */
diffad_val diffad_patch_critic(diffad_nn *nn, diffad_val x, int ndf, int layers);
/* LPIPS of a and b: [N,1,1,1]; names net.slice*, lin*, scaling_layer.* (buffers) */
diffad_val diffad_lpips(diffad_nn *nn, const diffad_ints *channels, diffad_val a, diffad_val b);

/* Blocks, for comparisons with recorded ones. */
diffad_val diffad_ae_residual(diffad_nn *nn, diffad_val x, int64_t out, double dropout);
diffad_val diffad_ae_attention(diffad_nn *nn, diffad_val x);
diffad_val diffad_unet_residual(diffad_nn *nn, diffad_val x, diffad_val emb, int64_t out);
diffad_val diffad_unet_attention(diffad_nn *nn, diffad_val x, int head_channels);

#endif
