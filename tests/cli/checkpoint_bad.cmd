# import options that do not fit
checkpoint m.safetensors 1
vise info m.safetensors --heads 3
vise info m.safetensors --heads 2 --arch swim
vise info m.safetensors --heads 2 --act tanh
vise info m.safetensors --heads 2 --norm middle
vise info m.safetensors --heads 2 --size 18
