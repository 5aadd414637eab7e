# A filter that does what the message asks for in its field X-Test, by python3-milter. It writes what it has heard to a file.
import hashlib, sys, time
import Milter

class Filter(Milter.Base):
    def connect(self, name, family, address):
        self.heard = ['connect %s %s' % (name, address)]
        return Milter.CONTINUE
    def hello(self, name):
        self.heard.append('helo ' + name)
        return Milter.CONTINUE
    def envfrom(self, sender, *arguments):
        self.wish, self.fields, self.sum, self.octets = '', [], hashlib.sha256(), 0
        self.heard.append('mail %s user=%s' % (sender, self.getsymval('{auth_authen}')))
        return Milter.CONTINUE
    def envrcpt(self, recipient, *arguments):
        self.heard.append('rcpt ' + recipient)
        return Milter.REJECT if recipient == '<refused@mx.example>' else Milter.CONTINUE
    def header(self, name, value):
        if name == 'X-Test':
            self.wish = value
        self.heard.append('header %s=%s' % (name, value))
        return Milter.CONTINUE
    def eoh(self):
        return Milter.REJECT if self.wish == 'reject at eoh' else Milter.CONTINUE
    def body(self, chunk):
        self.sum.update(chunk)
        self.octets += len(chunk)
        return Milter.CONTINUE
    def eom(self):
        self.heard.append('body %d %s' % (self.octets, self.sum.hexdigest()))
        with open(sys.argv[2], 'w') as out:
            out.write('\n'.join(self.heard))
        wish = self.wish
        if wish == 'reject': return Milter.REJECT
        if wish == 'tempfail': return Milter.TEMPFAIL
        if wish == 'discard': return Milter.DISCARD
        if wish == 'accept': return Milter.ACCEPT
        if wish.startswith('reply '):
            self.setreply(wish[6:9], wish[10:15], 'as it was asked')
            return Milter.REJECT if wish[6] == '5' else Milter.TEMPFAIL
        if wish == 'quarantine': self.quarantine('as it was asked')
        if wish == 'addheader': self.addheader('X-Added', 'x')
        if wish == 'chgheader': self.chgheader('Subject', 1, 'changed')
        if wish == 'chgbody': self.replacebody('changed\r\n' * 100000)
        if wish == 'delrcpt': self.delrcpt('<one@mx.example>')
        if wish == 'addrcpt': self.addrcpt('<other@mx.example>')
        if wish == 'chgfrom': self.chgfrom('<other@mx.example>')
        if wish == 'progress':
            while True:
                self.progress()
                time.sleep(0.1)
        if wish == 'hang': time.sleep(600)
        if wish == 'close': sys.stdout.flush(); import os; os._exit(1)
        return Milter.CONTINUE

Milter.factory = Filter
Milter.set_flags(Milter.ADDHDRS | Milter.CHGHDRS | Milter.CHGBODY | Milter.ADDRCPT | Milter.DELRCPT | Milter.QUARANTINE | Milter.CHGFROM)
Milter.runmilter('filter', 'inet:%s@127.0.0.1' % sys.argv[1], 600)
