# component only
nc -l -p 9000 > got & sleep 0.2
echo hello | nc -q 0 127.0.0.1 9000; wait; cat got
(echo request | nc -l -p 9001 > /dev/null) & sleep 0.2
nc 127.0.0.1 9001 < /dev/null
nc 127.0.0.1 9; echo $?
nc -z 127.0.0.1 9; echo $?
(printf 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok' | nc -l -p 9002 >/dev/null) & sleep 0.2
curl -s http://127.0.0.1:9002/; echo " $?"
(nc -l -p 9003 </dev/null >/dev/null) & sleep 0.2
curl -s http://127.0.0.1:9003/; echo $?
nc -l -p 9004 -e sh -c 'echo from program' & sleep 0.2
nc 127.0.0.1 9004 < /dev/null
