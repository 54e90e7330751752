{ echo 1; echo 2; } > f; while read x; do echo got $x; done < f
if true; then echo t; fi > g; cat g
