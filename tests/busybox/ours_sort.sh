# component only
printf '1K\n1M\n2\n' | sort -h
printf 'a\nb\n' > x; printf 'b\nc\n' > y; comm x y; comm -12 x y; comm -3 x y
printf abc | cksum
printf 'a\n\n\nb\n' | cat -s
seq 3 | shuf | sort
split -l 2 - p <<E
1
2
3
E
cat paa pab
