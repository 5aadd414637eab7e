package find

import "kanmon/internal/event"

// A classText is what a class of refusals means to people.
type classText struct {
	whose    Fault
	meaning  text // to the operator
	do       text // what he should do
	customer text // to whoever wrote the mail
	remedy   text // what he can do; "" where it is nothing
}

var (
	waitForIt = text{"Nothing: the mail server tries again by itself.", "対応は不要です。メールサーバーが自動で再送します。"}
	weWorkOn  = text{"You need do nothing. We are taking care of it.", "お客様側での対応は不要です。当方で対応いたします。"}
)

var classTexts = [event.ClassCount]classText{
	event.Unjudged: {
		whose: FaultUnsaid, meaning: text{"no reply of the receiver decided about it", "受信側の応答で決まったものではありません"},
		do:       text{"Look at the cause and the step it ended in.", "終了した段階と原因を確認してください。"},
		customer: text{"The message could not be handed over to the receiver's mail server.", "受信側のメールサーバーへ引き渡すことができませんでした。"},
	},
	event.NoRefusal: {
		whose: FaultNobody, meaning: text{"accepted", "受理されました"},
		do:       text{"Nothing.", "対応は不要です。"},
		customer: text{"The receiver's mail server accepted the message.", "受信側のメールサーバーがメールを受理しました。"},
	},
	event.IPBlocklisted: {
		whose: FaultOurs, meaning: text{"the sending IP or its network is on a block list", "送信元IPアドレス、またはそのネットワークがブロックリストに掲載されています"},
		do: text{
			"Find whose mail caused it (`kanmon ip show`, `kanmon account list`), stop that, then ask the list for removal.",
			"原因となった送信者を特定して止め（`kanmon ip show`、`kanmon account list`）、そのうえでリストの運営者に解除を申請してください。",
		},
		customer: text{
			"The receiver does not take mail from one of our mail servers at the moment. It is not about your address or your message.",
			"受信側が、現在、当社メールサーバーからのメールを受け取っていません。お客様のメールアドレスやメールの内容が原因ではありません。",
		},
		remedy: weWorkOn,
	},
	event.IPReputation: {
		whose: FaultOurs, meaning: text{"the receiver does not trust the sending IP; it names no list", "受信側が送信元IPアドレスの評価（レピュテーション）を理由に拒否しています。リスト名は示されていません"},
		do: text{
			"See whether other sending IPs get through there (`kanmon provider show`), and whose mail spoils this one (`kanmon ip show`). If it stays, write to the receiver's postmaster.",
			"ほかの送信元IPアドレスなら届くか（`kanmon provider show`）、誰のメールが評価を下げているか（`kanmon ip show`）を確認してください。続く場合は受信側のポストマスターに連絡してください。",
		},
		customer: text{
			"The receiver does not take mail from one of our mail servers at the moment. It is not about your address or your message.",
			"受信側が、現在、当社メールサーバーからのメールを受け取っていません。お客様のメールアドレスやメールの内容が原因ではありません。",
		},
		remedy: weWorkOn,
	},
	event.Throttled: {
		whose: FaultOurs, meaning: text{"too much in too short a time, for the receiver", "短時間の送信量や接続数が、受信側の制限を超えました"},
		do: text{
			"Mostly nothing: it is sent again later. If it lasts, see who sends much there (`kanmon provider show`), and slow that down or spread it over more sending IPs.",
			"通常は対応不要です。後で再送されます。長引く場合は、その宛先に多く送っている送信者を調べ（`kanmon provider show`）、送信量を抑えるか、送信元IPアドレスを増やしてください。",
		},
		customer: text{"The receiver takes only so much mail at a time. The message waits and is sent again.", "受信側が一度に受け取る量を制限しています。メールは待機しており、自動的に再送されます。"},
		remedy:   text{"Nothing. If you send to many recipients at once, spread them over a longer time.", "対応は不要です。多数の宛先に一斉送信している場合は、時間を空けて送ってください。"},
	},
	event.Greylisted: {
		whose: FaultNobody, meaning: text{"first contact: the receiver wants to see a second attempt", "初めての相手からのメールを一時的に保留する仕組み（グレイリスティング）です。再送すれば受け取られます"},
		do:       waitForIt,
		customer: text{"The receiver asks unknown senders to try again after some minutes. That happens by itself.", "受信側が、初めての相手に数分後の再送を求めています。再送は自動で行われます。"},
	},
	event.DNSIdentity: {
		whose: FaultOurs, meaning: text{"the names of the sending IP do not fit: its PTR record, its forward record, or the name in EHLO", "送信元IPアドレスの名前（逆引き、正引き、EHLOの名前）が一致していません"},
		do: text{
			"Put PTR, forward record and EHLO name of the sending IP in order; `kanmon check` compares them.",
			"送信元IPアドレスの逆引き、正引き、EHLOの名前を一致させてください。`kanmon check` で確認できます。",
		},
		customer: text{"The receiver objects to a setting of one of our mail servers. It is not about your address or your message.", "受信側が、当社メールサーバーの設定を理由に受け取りませんでした。お客様のメールアドレスやメールの内容が原因ではありません。"},
		remedy:   weWorkOn,
	},
	event.AuthFailed: {
		whose: FaultAccount, meaning: text{"SPF, DKIM or DMARC of the sender's domain failed", "送信者ドメインのSPF、DKIM、DMARCのいずれかの認証に失敗しました"},
		do: text{
			"Tell the tenant: the DNS records of the sender's domain must allow these sending IPs, or its mail must be signed.",
			"テナントに連絡してください。送信者ドメインのDNSでこの送信元IPアドレスを許可するか、DKIM署名を付ける必要があります。",
		},
		customer: text{
			"The receiver could not verify that the message really comes from your domain (SPF, DKIM or DMARC).",
			"受信側で、メールが確かにお客様のドメインから送られたことを確認できませんでした（SPF、DKIM、DMARC）。",
		},
		remedy: text{
			"Check the SPF, DKIM and DMARC records in the DNS of your domain; we can tell you the values.",
			"お客様のドメインのDNSにあるSPF、DKIM、DMARCの設定をご確認ください。設定値は当方からご案内できます。",
		},
	},
	event.SenderRejected: {
		whose: FaultAccount, meaning: text{"the sender's address or domain is refused", "送信者のメールアドレスまたはドメインが拒否されました"},
		do:       text{"Tell the tenant. See whether the domain is on a list, or the account misused (`kanmon account explain`).", "テナントに連絡してください。ドメインがリストに載っていないか、アカウントが悪用されていないか（`kanmon account explain`）を確認してください。"},
		customer: text{"The receiver does not take mail from your address or your domain.", "受信側が、お客様のメールアドレスまたはドメインからのメールを受け取っていません。"},
		remedy:   text{"Ask the receiver why, through another channel, and have your domain checked against block lists.", "別の手段で受信側に理由をお問い合わせください。あわせて、ドメインがブロックリストに載っていないかをご確認ください。"},
	},
	event.ContentRejected: {
		whose: FaultAccount, meaning: text{"the message is refused: spam, virus, links, attachments or its form", "メールの内容（迷惑メール判定、ウイルス、リンク、添付、形式など）を理由に拒否されました"},
		do:       text{"Tell the tenant. If many of an account are refused so, it may be misused: `kanmon account explain`.", "テナントに連絡してください。同じアカウントで多発する場合は悪用の可能性があります（`kanmon account explain`）。"},
		customer: text{"The receiver refused the message because of its content: text, links, attachments, or how it is built.", "受信側が、メールの内容（本文、リンク、添付ファイル、形式）を理由に受け取りませんでした。"},
		remedy:   text{"Send it again without attachments and links, or in other words. Have your computer checked for viruses if you did not write it.", "添付ファイルやリンクを外す、文面を変えるなどして送り直してください。心当たりのないメールの場合は、端末のウイルス検査を行ってください。"},
	},
	event.RecipientInvalid: {
		whose: FaultRecipient, meaning: text{"there is no such recipient", "宛先のメールアドレスが存在しません"},
		do:       text{"Nothing for one mail. An account with many of them has a bad list, or guesses addresses: `kanmon account explain`.", "1通だけなら対応不要です。同じアカウントで多い場合は、宛先リストが古いか、宛先を推測して送っています（`kanmon account explain`）。"},
		customer: text{"The address does not exist at the receiver, or no more.", "宛先のメールアドレスが受信側に存在しません（または廃止されました）。"},
		remedy:   text{"Check how the address is spelt, and remove it from your lists.", "宛先のつづりをご確認ください。配信リストに入っている場合は削除してください。"},
	},
	event.MailboxFull: {
		whose: FaultRecipient, meaning: text{"the recipient's mailbox is full", "宛先のメールボックスがいっぱいです"},
		do:       text{"Nothing.", "対応は不要です。"},
		customer: text{"The recipient's mailbox is full.", "宛先のメールボックスの容量がいっぱいです。"},
		remedy:   text{"Tell the recipient through another channel, and send it again later.", "別の手段で相手に知らせ、後で送り直してください。"},
	},
	event.RecipientPolicy: {
		whose: FaultRecipient, meaning: text{"the recipient, or who administers the mailbox, does not want this mail", "宛先の本人または管理者の設定により拒否されました"},
		do:       text{"Nothing: it is the recipient's choice.", "対応は不要です。受信者側の選択によるものです。"},
		customer: text{"The recipient, or the administrator of the mailbox, has chosen not to take this mail.", "宛先の方、またはその管理者の設定により、このメールは受け取られませんでした。"},
		remedy:   text{"Ask the recipient to allow your address.", "お客様のアドレスからの受信を許可していただくよう、相手の方にご依頼ください。"},
	},
	event.MessageTooBig: {
		whose: FaultAccount, meaning: text{"the message is larger than the receiver takes", "メールのサイズが受信側の上限を超えています"},
		do:       text{"Nothing.", "対応は不要です。"},
		customer: text{"The message is larger than the receiver takes.", "メールのサイズが、受信側の上限を超えています。"},
		remedy:   text{"Send large files in another way, or in several messages.", "大きなファイルは別の方法でお送りいただくか、複数のメールに分けてください。"},
	},
	event.RelayDenied: {
		whose: FaultReceiver, meaning: text{"the server is not responsible for this recipient, or wants a login", "接続先のサーバーは、この宛先を担当していないか、認証を求めています"},
		do:       text{"Look at the MX records of the recipient's domain: they may be wrong, or have just changed.", "宛先ドメインのMXレコードを確認してください。誤っているか、変更された直後の可能性があります。"},
		customer: text{"The mail server named in the DNS of the recipient's domain does not take mail for it.", "宛先ドメインのDNSに登録されているメールサーバーが、そのドメイン宛てのメールを受け付けていません。"},
		remedy:   text{"Check how the domain is spelt. If it is right, tell the recipient through another channel.", "ドメインのつづりをご確認ください。正しい場合は、別の手段で相手にお知らせください。"},
	},
	event.TLSRequired: {
		whose: FaultReceiver, meaning: text{"the receiver wants an encrypted connection, or another kind of it", "受信側が暗号化された接続（TLS）、または別の方式のTLSを求めています"},
		do:       text{"Look at the TLS of this MX: `kanmon mx ADDRESS`, and `[tls]` in the configuration.", "このMXのTLSの状況（`kanmon mx ADDRESS`）と、設定ファイルの `[tls]` を確認してください。"},
		customer: text{"The receiver asks for an encrypted connection that could not be made.", "受信側が求める暗号化通信を確立できませんでした。"},
		remedy:   weWorkOn,
	},
	event.SystemError: {
		whose: FaultReceiver, meaning: text{"a fault at the receiver", "受信側の障害です"},
		do:       text{"Nothing for one mail: it is sent again. If many mails of all tenants meet it, the receiver has an outage.", "1通だけなら対応不要です。自動で再送されます。全テナントで多発する場合は、受信側の障害です。"},
		customer: text{"The receiver's mail server has a fault.", "受信側のメールサーバーで障害が起きています。"},
	},
	event.PolicyUnspecified: {
		whose: FaultUnsaid, meaning: text{"refused without saying why", "理由を示さずに拒否されました"},
		do:       text{"See whether others get through to the same receiver (`kanmon provider show`); if it goes on, write to its postmaster.", "同じ受信側にほかのメールが届いているか（`kanmon provider show`）を確認してください。続く場合は受信側のポストマスターに問い合わせてください。"},
		customer: text{"The receiver refused the message without saying why.", "受信側が、理由を示さずにメールを拒否しました。"},
		remedy:   text{"Ask the recipient, through another channel, to have the mail server's administrator look at it.", "別の手段で相手の方に連絡し、先方のメール管理者に確認を依頼してください。"},
	},
	event.SilentDial: {
		whose: FaultReceiver, meaning: text{"the receiver's mail server could not be connected to", "受信側のメールサーバーに接続できませんでした"},
		do:       text{"See whether all sending IPs meet it (`kanmon provider show`): if only one does, it may be blocked there.", "すべての送信元IPアドレスで起きているか（`kanmon provider show`）を確認してください。1つだけなら、そのIPアドレスが遮断されている可能性があります。"},
		customer: text{"The receiver's mail server cannot be reached at the moment.", "現在、受信側のメールサーバーに接続できません。"},
	},
	event.SilentReset: {
		whose: FaultReceiver, meaning: text{"the receiver's mail server closed the connection without a word", "受信側のメールサーバーが、応答せずに接続を切断しました"},
		do:       text{"See whether all sending IPs meet it (`kanmon provider show`): if only one does, it may be blocked there.", "すべての送信元IPアドレスで起きているか（`kanmon provider show`）を確認してください。1つだけなら、そのIPアドレスが遮断されている可能性があります。"},
		customer: text{"The receiver's mail server ended the connection without giving a reason.", "受信側のメールサーバーが、理由を示さずに接続を切断しました。"},
	},
}

var faultTexts = [FaultCount]text{
	FaultUnsaid:    {"not said", "不明（応答に示されていない）"},
	FaultOurs:      {"ours: the sending IP, or how we send", "当方（送信元IPアドレス、または送り方）"},
	FaultAccount:   {"the sender's: account, domain or message", "送信者（アカウント、ドメイン、またはメールの内容）"},
	FaultRecipient: {"the recipient's mailbox", "宛先のメールボックス"},
	FaultReceiver:  {"the receiver's mail server", "受信側のメールサーバー"},
	FaultNobody:    {"nobody's", "誰の問題でもない"},
	FaultLimit:     {"a limit or an order of this gateway", "このゲートウェイの制限または指示"},
}
