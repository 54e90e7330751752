cat <<"E F"
$x
E F
cat <<E
a\
b \\ \` \$x "q" 'q'
E
f() { cat <<E
in function $1
E
}; f arg
while read l; do echo "> $l"; done <<E
$(echo one; echo two)
E
