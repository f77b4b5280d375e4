# a kernel and a level that are not there
vise check nothing
vise check --cpu sse9
vise check gelu swish
vise check --rounds 0
