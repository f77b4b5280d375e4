# without arguments: the overview on stderr, status 2
vise
