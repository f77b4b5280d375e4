# answers as JSON, with all outputs; more classes asked for than there are
tiny m.vise 1
picture a.ppm "aZ0(b!"
vise run m.vise a.ppm --json --logits --top 1K
vise run --json --top=1 -- m.vise a.ppm
