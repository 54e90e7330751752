printf 'a\nb\nc\nd\n' > x; printf 'a\nB\nc\nd\ne\n' > y
diff x y | grep -v '^[-+][-+]'; diff x x; echo $?
diff -q x y; diff -u -L old -L new x y
seq 20 > p; seq 20 | sed '3s/.*/three/;15d' > q; diff -L a -L b p q
printf 'a' > n1; printf 'a\n' > n2; diff -L a -L b n1 n2
diff -i -L a -L b x y | tail -n 1
