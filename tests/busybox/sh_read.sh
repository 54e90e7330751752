echo "a b c" | { read x y; echo "$x|$y"; }
echo 'a\tb' | { read -r x; echo "$x"; }
echo 'con\
tinued' | { read x; echo "$x"; }
printf 'no newline' | { read x; echo "$? $x"; }
echo a:b:c | { IFS=: read x y z; echo $z $y $x; }
echo "  lead" | { read x; echo "[$x]"; }
read x < /dev/null; echo $?
