# component only
mkdir -p d/e; echo one > d/a; echo two > d/e/b; ln -s a d/l
tar cf t.tar d; tar tf t.tar
rm -r d; tar xf t.tar; cat d/a d/e/b; readlink d/l
mkdir out; tar xf t.tar -C out; ls out
tar czf t.tgz d; tar tzf t.tgz | wc -l; tar tf t.tgz | head -n 1
tar cf - d | tar tf - | wc -l
tar xOf t.tar d/a
tar xf t.tar none; echo $?
mkdir s; tar xf t.tar --strip-components=1 -C s; ls s
tar cf x.tar --exclude 'e' d; tar tf x.tar
tar cvf v.tar d/a; tar xvf v.tar
long=$(printf '%0120d' 1); echo x > $long; tar cf l.tar $long; rm $long; tar xf l.tar; cat $long
tar tf missing; echo $?
cd out; tar cf - d | (mkdir ../copy; cd ../copy; tar xmf -); cat ../copy/d/a
