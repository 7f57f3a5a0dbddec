// A running plot of two series, each with its own scale. It keeps so many points and no more.
const MOST = 600;
// The first points do not fill the width.
const LEAST = 60;

export class Plot {
  constructor(canvas) {
    this.canvas = canvas;
    this.points = [];
    this.count = 0;
  }

  add(reward, total) {
    this.points.push([reward, total]);
    if (this.points.length > MOST) this.points.splice(0, this.points.length - MOST);
    this.count += 1;
    this.canvas.dataset.points = String(this.count);
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio);
    const height = Math.round(canvas.clientHeight * ratio);
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const context = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    context.clearRect(0, 0, width, height);
    context.strokeStyle = style.getPropertyValue("--line");
    context.lineWidth = ratio;
    context.strokeRect(0.5, 0.5, width - 1, height - 1);
    this.line(context, 0, style.getPropertyValue("--second"), width, height, ratio);
    this.line(context, 1, style.getPropertyValue("--accent"), width, height, ratio);
  }

  line(context, series, colour, width, height, ratio) {
    const values = this.points.map((point) => point[series]).filter(Number.isFinite);
    if (!values.length) return;
    const low = Math.min(...values, 0);
    const high = Math.max(...values, 0);
    const span = high - low || 1;
    const margin = 4 * ratio;
    context.strokeStyle = colour;
    context.lineWidth = 1.5 * ratio;
    context.beginPath();
    this.points.forEach((point, at) => {
      if (!Number.isFinite(point[series])) return;
      const x = margin + ((width - 2 * margin) * at) / (Math.max(LEAST, this.points.length) - 1);
      const y = height - margin - ((height - 2 * margin) * (point[series] - low)) / span;
      if (at) context.lineTo(x, y);
      else context.moveTo(x, y);
    });
    context.stroke();
  }
}
