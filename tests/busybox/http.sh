# component only
mkdir www www/sub www/cgi-bin; echo '<h1>hi</h1>' > www/index.html; echo data > www/sub/file.txt
printf '#!/bin/sh\necho "Content-Type: text/plain"; echo; echo "$REQUEST_METHOD $QUERY_STRING"; cat\n' > www/cgi-bin/t
httpd -f -p 8080 -h www & sleep 0.3
wget -qO- http://127.0.0.1:8080/
wget -q -O out http://127.0.0.1:8080/sub/file.txt; cat out
wget -O- http://127.0.0.1:8080/ 2>&1 | head -n 2
wget --spider http://127.0.0.1:8080/; echo $?
wget -qO- http://127.0.0.1:8080/none; echo $?
wget -qO- http://127.0.0.1:9/; echo $?
wget -qO- http://no.such.host/; echo $?
curl -s http://127.0.0.1:8080/
curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:8080/
curl -s -o /dev/null -w '%{http_code} %{size_download}\n' http://127.0.0.1:8080/none
curl -sf http://127.0.0.1:8080/none; echo $?
curl -s http://127.0.0.1:9/; echo $?
curl -sS http://no.such.host/; echo $?
curl -sI http://127.0.0.1:8080/ | head -n 1
curl -si http://127.0.0.1:8080/sub/file.txt | tail -n 1
curl -s -d a=b 'http://127.0.0.1:8080/cgi-bin/t?q=1'; echo
curl -s -G -d a=b http://127.0.0.1:8080/cgi-bin/t
curl -s -X PUT -d x http://127.0.0.1:8080/cgi-bin/t; echo
curl -sL http://127.0.0.1:8080/sub | head -n 1
curl --nope; echo $?
curl; echo $?
curl -s foo://bar; echo $?
kill $!
