# notes go to stderr, --quiet leaves them out
tiny a.vise 1
vise info a.vise --size 24 --json
vise info a.vise --size 24 --json --quiet >/dev/null
