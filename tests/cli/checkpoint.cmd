# a raw checkpoint: what is not in it has to be given, what is assumed is said
checkpoint m.safetensors 1
vise info m.safetensors --json
vise info m.safetensors --json --heads 2
vise info m.safetensors --json --heads 2 --ln-eps 1e-5 --act gelu --norm pre --mean 0.5 --std 0.5 --interpolation bicubic --crop-mode center --crop-pct 1
vise convert m.safetensors m.vise --heads 2 --quiet
vise info m.vise --json
