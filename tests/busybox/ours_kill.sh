# component only
# A real one tells of it most of the time.
sleep 100 & p=$!
kill $p; wait $p; echo $?
sleep 100 & p=$!
kill -9 $p; wait $p; echo $?
