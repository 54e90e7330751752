for i in 3 1 2; do (sleep 0.$i; echo $i) & done; wait; echo done
