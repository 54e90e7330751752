x=val
cat <<A
plain $x $((1+1)) $(echo sub) \$x
A
cat <<'B'
quoted $x $((1+1))
B
cat <<-C
	tabs
		gone
	C
cat <<D; echo after
two
D
cat <<E1; cat <<E2
first
E1
second
E2
