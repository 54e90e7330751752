printf 'one two\nthree\n' > f
wc f; wc -l f; wc -w < f; wc -c f; wc -lw f
wc f f
wc < f
printf 'é\n' | wc -c
wc -L f
