# component only
(sleep 5 | nc -l -p 9100) > /dev/null & sleep 0.2
curl -s -m 1 http://127.0.0.1:9100/; echo $?
kill $!
sleep 0 | timeout 5 cat; echo $?
