/* rules.c: the rules of training that stand in the code. Tests hold the code to them (tests/train). */
#include "train/rules.h"

#include <stddef.h>

const train_rule train_rules[] = {
    { "rate", "rate = base_learning_rate x accumulate x GPUs x batch where a published file gives it; otherwise `rate` as it stands",
      "code, main.py: scale_lr, on by default", true, false },
    { "epoch", "as many draws with replacement as there are training pictures; a step takes accumulate x batch of them",
      "code, data/mvtec.py: the index is ignored", true, true },
    { "accumulate", "a step takes the mean of the gradients of its batches", "Lightning: accumulate_grad_batches", true, true },
    { "adam", "eps 1e-8, bias-corrected; weight decay is decoupled", "PyTorch: Adam, AdamW", true, true },
    { "multistep", "rate x 0.2 from 80 % of the steps on, x 0.04 from 90 % on", "code, seg_network/train.py: MultiStepLR, gamma 0.2", true, true },
    { "ema", "after step n: shadow += (1 - d) (weight - shadow), d = min(ema_decay, (1 + n) / (10 + n)), n from 1", "code, modules/ema.py: LitEma; there "
      "once a batch, which is the same without accumulation", true, false },
    { "vae.loss", "sum over elements of |x - rec| + perceptual_weight x LPIPS, over the batch; + kl_weight x KL; LPIPS where its weights are given",
      "code, modules/losses/contperceptual.py; log-variance 0 and not trained", true, false },
    { "vae.critic", "from critic_start on: - w mean(critic(rec)) in the loss, and a hinge step of the critic with a second pass over the same batch, by the "
      "updated autoencoder, with noise and dropout of its own; both optimisers accumulate and step together",
      "code, AutoencoderKL.training_step; Lightning: each optimiser in turn on every batch, steps counted by the optimisers", true, false },
    { "vae.critic.weight", "w = critic_weight x clamp(|d nll/dW| / (|d g/dW| + 1e-4), 0, 1e4), W the decoder's last convolution; no gradient through w",
      "code, calculate_adaptive_weight", true, false },
    { "vae.critic.adam", "Adam's step count runs from the first step of the training: gradients before critic_start are zeros",
      "Lightning runs both optimisers from the start; the loss of the second is multiplied by 0", true, false },
    { "vae.init", "convolutions: weight and bias U(-b, b), b = 1 / sqrt(fan in); group norm 1 and 0", "PyTorch: kaiming_uniform with a = sqrt 5", true, false },
    { "critic.init", "convolutions: weight N(0, 0.02), bias as vae.init; batch norm: weight N(1, 0.02), bias 0", "taming-transformers: weights_init", true, false },
    { "unet.init", "zero: the last convolution of every residual block, proj_out of every attention, the last convolution; the rest as vae.init",
      "code, openaimodel.py: zero_module", true, false },
    { "segmenter.init", "convolutions: weight N(0, 0.02), bias as vae.init; batch norm: weight N(1, 0.02), bias 0",
      "code, seg_network/train.py: weights_init, as DRAEM; of both networks of DRAEM too", true, true },
    { "ldm.loss", "mean (predicted noise - noise)^2 at a uniform time; the condition is noised at a time of its own, which the network is not told",
      "code, LatentDiffusion.shared_step; supplement 1.1", true, false },
    { "seg.loss", "focal, gamma 2, alpha 1, on the softmax of two logits; one-hot mask clamped to [1e-5, 1 - 1e-5]", "code, seg_network/loss.py", true, true },
    { "draem.loss", "L2 + SSIM + focal, weights 1", "DRAEM's code", false, true },
    { "sampler", "DDIM with eta 0 at times 1, 1 + T/S, ..., from N(0,1) (or start_time); the last step ends at abar[0]", "code, ddim.py", true, false },
    { NULL, NULL, NULL, false, false }
};
