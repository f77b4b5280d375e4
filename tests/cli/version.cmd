# the version
vise --version
