"""What has to happen inside axolotl's own process; named under `plugins:` in every recipe."""

LORA_KERNELS = ("lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel", "lora_embedding_kernel")
