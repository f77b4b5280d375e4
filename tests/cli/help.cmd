# the overview on stdout
vise help
