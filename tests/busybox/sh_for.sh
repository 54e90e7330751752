for i in 1 2 3; do echo $i; done
for i in a b c; do [ $i = b ] && continue; echo $i; done
for i in 1 2; do for j in x y; do [ $j = y ] && continue 2; echo $i$j; done; done
for i in; do echo never; done
for f in *.none; do echo $f; done
