# component only
awk 'BEGIN{print 2^10, 2**3, -3^2, 2^3^2}'
awk 'BEGIN{print sqrt(16), exp(0), log(1), sin(0), cos(0), atan2(0,-1)}'
awk 'BEGIN{print substr("hello",0,2), substr("hello",-1,3)}'
awk 'BEGIN{a["one"];a["two"];a["three"];a["four"]; for(k in a) printf "%s ", k; print ""}'
awk 'BEGIN{print strftime("%Y-%m-%d %H:%M:%S", 86400, 1), mktime("1970 01 02 00 00 00")}'
awk 'BEGIN{print gensub(/(a)(b)/, "\\2\\1", "g", "abab")}'
