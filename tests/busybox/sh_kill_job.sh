sleep 100 & p=$!
(sleep 0.3; kill $p) & wait $p; echo $?
