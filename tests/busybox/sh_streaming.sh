(echo first; sleep 0.3; echo second) | while read x; do echo "got $x"; done
yes | head -n 2
