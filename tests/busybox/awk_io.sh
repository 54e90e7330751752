awk 'BEGIN{print "b\na" | "sort"; close("sort"); print "after"}'
awk 'BEGIN{while(("echo x; echo y" | getline line) > 0) print "got " line}'
printf '1\n2\n' > f; awk 'BEGIN{while((getline l < "f")>0) s=s l; print s; close("f"); getline < "f"; print $0, NR}'
awk 'BEGIN{print "to file" > "out"; close("out"); while((getline x < "out")>0) print x}'
awk 'BEGIN{print "1" > "o2"; print "2" > "o2"; print "3" >> "o2"; close("o2")}'; cat o2
awk 'BEGIN{r=system("exit 3"); print r; system("echo from system")}'
printf 'a\nb\nc\n' | awk 'NR==1{getline; print "now " $0; getline x; print x, NR}'
awk 'BEGIN{printf "%s %s\n", "to", "stderr" > "/dev/stderr"}' 2>&1
awk 'BEGIN { "date +%Y" | getline y; print (y > 2000) }'
awk 'BEGIN{print (getline x < "/nonexistent")}'
awk '{print FILENAME, FNR, NR}' f f
echo x | awk '{print $1 y}' y=1 -
