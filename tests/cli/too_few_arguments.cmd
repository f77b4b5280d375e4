# a command without its arguments
vise info
vise convert a
vise diff a
vise cpu a
vise new vit
