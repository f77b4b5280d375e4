# the published sizes
vise new --list
