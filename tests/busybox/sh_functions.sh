f() { echo "f: $1 $#"; return 4; }
f x y; echo $?
g() { local a=inner; echo $a; }
a=outer; g; echo $a
h() { for i in 1 2; do return $i; done; }; h; echo $?
fact() { [ $1 -le 1 ] && echo 1 || echo $(($1 * $(fact $(($1 - 1))))); }; fact 6
unset -f f; f
echo $?
