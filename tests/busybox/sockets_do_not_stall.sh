# component only
(sleep 1 | nc -l -p 9200) > /dev/null & sleep 0.2
nc 127.0.0.1 9200 > /dev/null & for i in 1 2 3; do echo $i; sleep 0.05; done
seq 3 | (sleep 0.1; cat)
