n=0; for i in 1 2 3; do n=$((n+i)); done; echo $n
echo 1 2 3 | { read a b c; echo $((a+b+c)); }
