package find

import "kanmon/internal/view/history"

// What is written to others. %s are filled in as the code beside says.
var (
	letterFrom      = text{"From", "差出人"}
	letterTo        = text{"To", "宛先"}
	letterMessageID = text{"Message-ID", "Message-ID（メール識別子）"}
	letterSent      = text{"Sent", "送信日時"}
	letterTo1       = text{"%s and 1 other", "%s ほか1件"}
	letterTo2       = text{"%s and %d others", "%s ほか%d件"}

	letterSaid = text{"What the receiver's mail server answered:", "受信側のメールサーバーの応答："}
	letterMean = text{"What it means:", "その意味："}
	letterDo   = text{"What you can do:", "お客様にお願いしたいこと："}

	customerTitle = text{"About your message to %s", "%s 宛てのメールについて"}

	customerStates = map[history.MailState]text{
		history.Delivered: {
			"It was delivered: the receiver's mail server (%[1]s) accepted it at %[2]s%[3]s. If the recipient does not see it, it lies in a spam folder, or was filtered there. The recipient's mail administrator can find it by this time and id.",
			"配送は完了しています。受信側のメールサーバー（%[1]s）が %[2]s に受け取りました%[3]s。相手の方に届いていない場合は、迷惑メールフォルダーに入っているか、受信側で振り分けられています。先方のメール管理者であれば、この時刻と受付IDから調べられます。",
		},
		history.Partly: {
			"It was delivered to a part of its recipients; below is what became of each of them. The last attempt was at %[2]s.",
			"一部の宛先にだけ配送されています。宛先ごとの状況は下記のとおりです。最後の送信は %[2]s です。",
		},
		history.Refused: {
			"It was not delivered. The receiver's mail server refused it for good at %[2]s, and it is not sent again.",
			"配送できませんでした。%[2]s に受信側のメールサーバーが受け取りを拒否したため、再送は行われません。",
		},
		history.Waits: {
			"It is not delivered yet. It is sent again by itself; the last of %[4]d attempts was at %[2]s. If it cannot be delivered, you get a message about it, about %[5]s.",
			"まだ配送されていません。自動的に再送されます（これまでに%[4]d回、最後は %[2]s）。配送できない場合は、%[5]s 頃にエラーメールが届きます。",
		},
		history.GivenUp: {
			"It was not delivered. %[4]d attempts were made, the last at %[2]s; it is most likely not sent again.",
			"配送できませんでした。%[4]d回送信を試みましたが（最後は %[2]s）、再送は終了したものとみられます。",
		},
		history.Unclear: {
			"It was sent completely at %[2]s, but the receiver's mail server (%[1]s) did not say whether it took it. It may have arrived, and it may arrive twice. Please ask the recipient before you send it again.",
			"%[2]s に送信を終えましたが、受信側のメールサーバー（%[1]s）から受け取りの返答がありませんでした。すでに届いている、または二重に届く可能性があります。送り直す前に、相手の方にご確認ください。",
		},
	}
	customerFates = map[string]text{
		"delivered": {"delivered", "配送済み"},
		"refused":   {"refused", "拒否"},
		"deferred":  {"waits, and is sent again", "待機中（自動で再送）"},
		"unknown":   {"not certain: the receiver did not answer", "不明（受信側の返答なし）"},
		"not_sent":  {"not sent yet", "未送信"},
	}
	customerAs = text{", as %s", "（受付ID：%s）"}

	ownLimitSays  = text{"Our mail service holds the message back: sending from your account, or from your organisation, is limited at the moment.", "現在、お客様のアカウントまたは組織からの送信が制限されているため、当社のメールサービスで保留しています。"}
	ownLimitDo    = text{"Please contact our support.", "当社サポートまでお問い合わせください。"}
	ownHeldSays   = text{"Our mail service could not pass the message on at the moment.", "当社のメールサービスが、一時的にメールを転送できませんでした。"}
	ownRemoteSays = text{"The connection to the receiver's mail server failed.", "受信側のメールサーバーとの通信に失敗しました。"}
	ownSenderSays = text{"The message, or how it was handed over, does not follow the rules of mail.", "メール、またはその受け渡し方が、メールの規則に沿っていません。"}
	ownSenderDo   = text{"Please check the program that sent it, or contact our support.", "送信に使ったソフトウェアをご確認いただくか、当社サポートまでお問い合わせください。"}

	postmasterSubject = text{"Mail from %[1]s to %[2]s: %[3]s", "%[1]s から %[2]s 宛てのメールについて（%[3]s）"}
	postmasterGreets  = text{"Dear postmaster,", "メール管理ご担当者様\n\nお世話になっております。メールサービスの運用担当です。"}
	postmasterThanks  = text{"Thank you for your help.", "お手数をおかけしますが、どうぞよろしくお願いいたします。"}
	postmasterOurs    = text{
		"Your mail servers refuse mail from our sending IP %s because of this address. Please tell us what you saw from it, and what is needed to have the entry removed.",
		"貴サーバーにて、当方の送信元IPアドレス %s を理由にメールが拒否されています。拒否の原因となった事象と、解除に必要な手続きをご教示いただけますでしょうか。",
	}
	postmasterAsks = text{
		"Your mail servers answer mail from our sending IP %s as shown below. Please tell us the reason, and what we should change.",
		"当方の送信元IPアドレス %s からのメールに対し、貴サーバーから下記の応答が返されています。理由と、当方で対応すべき点をご教示いただけますでしょうか。",
	}
	postmasterTook = text{
		"Your mail servers have accepted the message below from our sending IP %s, and its recipient says that it did not arrive. Please tell us what became of it.",
		"当方の送信元IPアドレス %s から送信した下記のメールは貴サーバーに受理されていますが、宛先の方から届いていないとの連絡を受けています。受理後の状況をご教示いただけますでしょうか。",
	}
	postmasterUnclear = text{
		"We have sent the message below completely from our sending IP %s, and your mail servers did not answer to its end. Please tell us whether you took it.",
		"当方の送信元IPアドレス %s から下記のメールの本文をすべて送信しましたが、貴サーバーからの応答がありませんでした。受理されたかどうかをご教示いただけますでしょうか。",
	}
	postmasterIP       = text{"Sending IP", "送信元IPアドレス"}
	postmasterPTR      = text{"PTR", "逆引き（PTR）"}
	postmasterEHLO     = text{"EHLO name", "EHLOの名前"}
	postmasterList     = text{"List", "リスト"}
	postmasterAttempts = text{"Attempts (times in UTC):", "送信の記録（時刻はUTC）："}
	postmasterTo       = text{"%[1]s  from %[2]s to your server %[3]s", "%[1]s  %[2]s から貴サーバー %[3]s へ"}
	postmasterAt       = text{"answer at %[1]s: %[2]s", "%[1]s に対する応答：%[2]s"}
	postmasterNone     = text{"no answer", "応答なし"}
	postmasterID       = text{"your queue id: %s", "貴サーバーの受付ID：%s"}
)
