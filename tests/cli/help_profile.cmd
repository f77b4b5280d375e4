# the help text of profile
vise help profile
