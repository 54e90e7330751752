echo "\$ \` \" \\ \a"
echo 'a"b' "a'b" a\'b
echo "a   b" a   b
echo "$(echo "nested "quotes"")"
IFS=; x='a b'; for i in $x; do echo "[$i]"; done
