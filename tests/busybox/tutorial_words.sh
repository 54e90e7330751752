while true; do echo $((n=n+1)); [ $n -ge 3 ] && exit; sleep 0.01; done
