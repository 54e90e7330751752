printf abc > f
md5sum f; sha1sum f; sha256sum f; sha512sum f
md5sum < f
sha256sum f > sums; sha256sum -c sums; echo x >> f; sha256sum -c sums; echo $?
