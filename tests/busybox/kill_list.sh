kill -l | wc -l; kill -l 15; kill -l TERM
