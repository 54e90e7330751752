printf 'a\nb\n' > f; cp f g
sed -i s/a/A/ f; cat f
sed -i.bak s/b/B/ f; cat f f.bak
sed -n '$p' f g
sed 's/a/x/w out' g; cat out
echo 's/a/from file/' > script; sed -f script g
printf 'R\n' > r; sed '1r r' g
sed s/x/y/ missing; echo $?
