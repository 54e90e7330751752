awk 'BEGIN{a["x"]=1; a["y"]=2; for(k in a) s+=a[k]; print s, length(a); delete a["x"]; print ("x" in a), ("y" in a)}'
printf 'a\nb\na\n' | awk '{c[$1]++} END{for(k in c) print k, c[k]}' | sort
awk 'BEGIN{a[1,2]=3; for(k in a){split(k,p,SUBSEP); print p[1], p[2]}; if((1,2) in a) print "yes"}'
awk 'BEGIN{n=split("a:b:c",x,":"); print n, x[1], x[3]; n=split("",y); print n, length(y)}'
awk 'BEGIN{for(i=1;i<=9;i++) a[i]=i; for(k in a) printf "%s ", k; print ""}'
printf 'a\nb\na\n' | awk '!seen[$0]++'
