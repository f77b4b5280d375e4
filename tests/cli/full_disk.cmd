# write errors count: results, help and JSON that did not arrive
vise new --list >/dev/full
echo $?
vise help run >/dev/full
echo $?
vise cpu --json >/dev/full
