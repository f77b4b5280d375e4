# help for a command that is not there
vise help benhc
