awk 'BEGIN{print ARGC, ARGV[1]}' x y
X=env awk 'BEGIN{print ENVIRON["X"]}'
awk 'BEGIN{print 1,2 > "/dev/stdout"}'
awk 'BEGIN { printf("%s\n", "paren"); print("a","b") }'
awk 'BEGIN{print toupper(substr("abc",1,1)) substr("abc",2)}'
awk 'BEGIN{a="x"; b = a == "x" ? "eq" : "ne"; print b}'
awk '
# comment
BEGIN {
  x = 1   # trailing
  if (x)
    print "multi"
  else
    print "no"
}
'
awk 'BEGIN{print length "x"}' </dev/null
awk 'BEGIN{print substr("x", 1) ; print index("abc", "")}'
awk "BEGIN{print 1;;print 2}"
awk 'BEGIN{$3="c"; print; print NF}'
seq 5 | awk '{a[NR]=$1} END{for(i=NR;i>0;i--) printf "%s%s", a[i], (i>1?" ":"\n")}'
echo "k=v" | awk -F= '{print $1 " -> " $2}'
awk 'BEGIN{while(i<3){i++; if(i==2)continue; print i}}'
