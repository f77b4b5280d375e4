# the help text of sensitivity
vise help sensitivity
