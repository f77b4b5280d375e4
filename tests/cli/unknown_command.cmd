# a command that is not there, and one like nothing
vise evla
vise frobnicate
