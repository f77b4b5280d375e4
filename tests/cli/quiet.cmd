# notes go to stderr, --quiet leaves them out; with several models they name theirs
checkpoint m.safetensors 1
folders set
vise info m.safetensors --heads 2 >/dev/null
vise info m.safetensors --heads 2 --quiet >/dev/null
vise diff m.safetensors m.safetensors --heads 2 --data set >/dev/null
