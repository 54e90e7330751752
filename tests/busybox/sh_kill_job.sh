sleep 100 & p=$!
kill $p; wait $p; echo $?
