vise compress --list
vise compress --list --json
