"""What has to happen inside axolotl's own process; the guard is named under `plugins:` in every stage."""

LORA_KERNELS = ("lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel", "lora_embedding_kernel")
